import { stat } from "node:fs/promises";
import path from "node:path";
import { ArtifactNotFoundError, DefaultArtifactClient } from "@actions/artifact";
import * as core from "@actions/core";
import * as glob from "@actions/glob";

/** The deepest directory that contains all of `paths`. */
function common(paths) {
  const [first, ...others] = paths.map((one) => path.normalize(one).split(path.sep));
  const differs = first.findIndex((part, at) => others.some((other) => other[at] !== part));
  return first.slice(0, differs === -1 ? first.length : differs).join(path.sep) || path.sep;
}

/** The files that match the patterns, and the directory that their paths in the artifact are relative to. */
async function find(patterns, hidden) {
  const globber = await glob.create(patterns, { excludeHiddenFiles: !hidden });
  const files = [];
  for (const found of await globber.glob()) {
    if (!(await stat(found)).isDirectory()) files.push(found);
  }
  const starts = globber.getSearchPaths();
  // A single file, given without a pattern, is stored without its directories.
  const single = starts.length === 1 && files.length === 1 && files[0] === starts[0];
  return { files, root: single ? path.dirname(files[0]) : common(starts) };
}

async function remove(client, name) {
  try {
    await client.deleteArtifact(name);
  } catch (error) {
    if (!(error instanceof ArtifactNotFoundError)) throw error;
  }
}

try {
  const name = core.getInput("name");
  const patterns = core.getInput("path", { required: true });
  const ifNoFilesFound = core.getInput("if-no-files-found");
  const report = { warn: core.warning, error: core.setFailed, ignore: core.info }[ifNoFilesFound];
  if (!report) throw new Error(`if-no-files-found is ${ifNoFilesFound}; expected warn, error or ignore`);
  const { files, root } = await find(patterns, core.getBooleanInput("include-hidden-files"));
  if (files.length === 0) {
    report(`No files were found with the provided path: ${patterns}. No artifacts will be uploaded.`);
  } else {
    const client = new DefaultArtifactClient();
    if (core.getBooleanInput("overwrite")) await remove(client, name);
    const { id, digest } = await client.uploadArtifact(name, files, root, {
      compressionLevel: Number(core.getInput("compression-level")),
      retentionDays: Number(core.getInput("retention-days")) || undefined,
    });
    const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = process.env;
    core.setOutput("artifact-id", id);
    core.setOutput("artifact-digest", digest);
    core.setOutput("artifact-url", `${server}/${repository}/actions/runs/${run}/artifacts/${id}`);
    core.info(`Artifact ${name} has been uploaded: ${files.length} files in ${root}`);
  }
} catch (error) {
  core.setFailed(error.message);
}
