import { type RunningApp, type RunOptions, runApp } from "@timespan/testing/run-app";
import { buildUws } from "../../../deploy/build-uws.ts";

export interface Engine {
  name: string;
  /** A sentence for the log where it is not there. */
  missing: string | undefined;
  run(env: Record<string, string>, options?: RunOptions): Promise<RunningApp>;
}

const node = Bun.which("node");
const nodeMajor = node === null ? undefined : readNodeMajor(node);
/** The Node releases for which the pinned package has an addon. */
const NODE_WITH_ADDON = [16, 18, 20];
let bundle: Promise<string> | undefined;

/** Both engines. A suite is registered for an absent one too, as skipped, so that what did not run is counted. */
export const engines: Engine[] = [
  {
    name: "Bun",
    missing: undefined,
    run: (env, options) => runApp("error-stream", "ERROR_STREAM_PORT", env, options),
  },
  {
    name: "uWebSockets.js",
    missing:
      nodeMajor === undefined
        ? "no node on this machine"
        : NODE_WITH_ADDON.includes(nodeMajor)
          ? undefined
          : `node is version ${nodeMajor}, and the addon is for ${NODE_WITH_ADDON.join(", ")}`,
    async run(env, options) {
      bundle ??= buildUws();
      const command = [node ?? "node", "--enable-source-maps", await bundle];
      return runApp("error-stream", "ERROR_STREAM_PORT", env, { ...options, command });
    },
  },
];

for (const { name, missing } of engines) {
  if (missing !== undefined) console.log(`error-stream on ${name}: SKIPPED, ${missing}.`);
}

function readNodeMajor(path: string): number {
  const { stdout } = Bun.spawnSync([path, "--version"]);
  return Number(/^v(\d+)/.exec(stdout.toString())?.[1]);
}
