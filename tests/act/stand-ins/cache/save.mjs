// The post step of `cache` and the main step of `cache/save`. Like the original, it
// never fails a job.
import * as cache from "@actions/cache";
import * as core from "@actions/core";
import { sameKey } from "./keys.mjs";

try {
  const key = core.getState("CACHE_KEY") || core.getInput("key", { required: true });
  if (sameKey(core.getState("CACHE_RESULT"), key)) {
    core.info(`Cache hit occurred on the primary key ${key}, not saving cache.`);
  } else if ((await cache.saveCache(core.getMultilineInput("path", { required: true }), key)) !== -1) {
    core.info(`Cache saved with key: ${key}`);
  }
} catch (error) {
  core.warning(error.message);
}
