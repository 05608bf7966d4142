//! Servers in this process.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// An HTTP server on a free loopback port. It runs until this value is dropped.
pub struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Server {
    /// Serves the router that `router` returns for the server's root URL.
    pub fn start(router: impl FnOnce(&str) -> Router) -> Self {
        let (runtime, listener, address) = listen();
        let router = router(&format!("http://{address}/"));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { runtime: Some(runtime), address }
    }

    /// Passes each connection to `serve`.
    pub(crate) fn connections<F>(serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (runtime, listener, address) = listen();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { runtime: Some(runtime), address }
    }

    /// The root URL, with a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn listen() -> (Runtime, TcpListener, SocketAddr) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    (runtime, listener, address)
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
