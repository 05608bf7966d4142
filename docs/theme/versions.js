// A menu of the other versions. Only the deployed book has several: there,
// `.github/deploy-book.sh` writes `versions.json` beside their directories.
(() => {
  const found = location.pathname.match(/^(.*\/)(main|v\d[^/]*)\/(.*)$/);
  const bar = document.querySelector(".right-buttons");
  if (!found || !bar || location.protocol !== "https:") return;
  const [, root, current, page] = found;
  fetch(`${root}versions.json`)
    .then((answer) => answer.json())
    .then((versions) => {
      const select = document.createElement("select");
      select.setAttribute("aria-label", "Version");
      for (const version of versions) {
        select.add(new Option(version, version, false, version === current));
      }
      select.addEventListener("change", async () => {
        // A version may lack this page.
        const same = `${root}${select.value}/${page}`;
        const there = await fetch(same, { method: "HEAD" });
        location.assign(there.ok ? same : `${root}${select.value}/`);
      });
      bar.prepend(select);
    });
})();
