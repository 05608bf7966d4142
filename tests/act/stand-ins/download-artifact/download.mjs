import { homedir } from "node:os";
import path from "node:path";
import { DefaultArtifactClient } from "@actions/artifact";
import * as core from "@actions/core";
import { minimatch } from "minimatch";

/** The artifacts of this run that are asked for. */
async function choose(client, name, pattern) {
  if (name) return [(await client.getArtifact(name)).artifact];
  const { artifacts } = await client.listArtifacts({ latest: true });
  return pattern ? artifacts.filter((artifact) => minimatch(artifact.name, pattern)) : artifacts;
}

try {
  const name = core.getInput("name");
  const merge = core.getBooleanInput("merge-multiple");
  const mismatch = core.getInput("digest-mismatch");
  const tell = { ignore: () => {}, info: core.info, warn: core.warning }[mismatch];
  const given = core.getInput("path") || process.env.GITHUB_WORKSPACE;
  const folder = path.resolve(given.replace(/^~/, homedir()));
  const client = new DefaultArtifactClient();
  const artifacts = await choose(client, name, core.getInput("pattern"));
  for (const artifact of artifacts) {
    const place = name || merge ? folder : path.join(folder, artifact.name);
    const { digestMismatch } = await client.downloadArtifact(artifact.id, {
      path: place,
      expectedHash: artifact.digest,
    });
    if (digestMismatch) {
      const text = `Artifact ${artifact.name} has other bytes than were uploaded`;
      if (!tell) throw new Error(text);
      tell(text);
    }
    core.info(`Artifact ${artifact.name} has been downloaded to ${place}`);
  }
  core.setOutput("download-path", folder);
  core.info(`Total of ${artifacts.length} artifact(s) downloaded`);
} catch (error) {
  core.setFailed(`Unable to download artifact(s): ${error.message}`);
}
