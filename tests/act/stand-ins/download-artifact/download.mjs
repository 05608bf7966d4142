import { homedir } from "node:os";
import path from "node:path";
import { DefaultArtifactClient } from "@actions/artifact";
import * as core from "@actions/core";
import { minimatch } from "minimatch";

/** The requested artifacts of this run. */
async function choose(client, name, pattern) {
  if (name) return [(await client.getArtifact(name)).artifact];
  const { artifacts } = await client.listArtifacts({ latest: true });
  return pattern ? artifacts.filter((artifact) => minimatch(artifact.name, pattern)) : artifacts;
}

try {
  const name = core.getInput("name");
  const merge = core.getBooleanInput("merge-multiple");
  const mismatch = core.getInput("digest-mismatch");
  const report = { ignore: () => {}, info: core.info, warn: core.warning }[mismatch];
  const given = core.getInput("path") || process.env.GITHUB_WORKSPACE;
  const directory = path.resolve(given.replace(/^~/, homedir()));
  const client = new DefaultArtifactClient();
  const artifacts = await choose(client, name, core.getInput("pattern"));
  for (const artifact of artifacts) {
    const target = name || merge ? directory : path.join(directory, artifact.name);
    const { digestMismatch } = await client.downloadArtifact(artifact.id, {
      path: target,
      expectedHash: artifact.digest,
    });
    if (digestMismatch) {
      const text = `Artifact ${artifact.name} differs from what was uploaded`;
      if (!report) throw new Error(text);
      report(text);
    }
    core.info(`Artifact ${artifact.name} has been downloaded to ${target}`);
  }
  core.setOutput("download-path", directory);
  core.info(`Total of ${artifacts.length} artifact(s) downloaded`);
} catch (error) {
  core.setFailed(`Unable to download artifact(s): ${error.message}`);
}
