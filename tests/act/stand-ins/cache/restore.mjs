// The main step of `cache` and of `cache/restore`.
import * as cache from "@actions/cache";
import * as core from "@actions/core";
import { sameKey } from "./keys.mjs";

try {
  const key = core.getInput("key", { required: true });
  const paths = core.getMultilineInput("path", { required: true });
  const prefixes = core.getMultilineInput("restore-keys");
  const lookupOnly = core.getBooleanInput("lookup-only");
  // The post step reads both, and saves nothing after an exact match.
  core.saveState("CACHE_KEY", key);
  core.setOutput("cache-primary-key", key);
  const matched = await cache.restoreCache(paths, key, prefixes, { lookupOnly });
  if (matched === undefined) {
    if (core.getBooleanInput("fail-on-cache-miss")) {
      throw new Error(`no cache for ${key}`);
    }
    core.info(`Cache not found for input keys: ${[key, ...prefixes].join(", ")}`);
  } else {
    core.saveState("CACHE_RESULT", matched);
    core.setOutput("cache-matched-key", matched);
    core.setOutput("cache-hit", String(sameKey(matched, key)));
    core.info(`Cache restored from key: ${matched}`);
  }
} catch (error) {
  core.setFailed(error.message);
}
