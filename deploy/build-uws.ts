/**
 * `bun run build:uws [file]`: error-stream for Node, on uWebSockets.js, as one file. The addon is not part of it: Node
 * must find `uWebSockets.js` from where the file is.
 */
import { resolve } from "node:path";

const REPOSITORY = resolve(import.meta.dir, "..");
/** Beside the app, so that Node finds the addon that is installed for it. */
export const UWS_BUNDLE = resolve(REPOSITORY, "apps/error-stream/dist/error-stream-on-uws.mjs");

/** @throws {AggregateError} of the bundler */
export async function buildUws(file = UWS_BUNDLE): Promise<string> {
  const built = await Bun.build({
    entrypoints: [resolve(REPOSITORY, "apps/error-stream/src/main-on-uws.ts")],
    root: REPOSITORY,
    target: "node",
    external: ["uWebSockets.js"],
    sourcemap: "inline",
  });
  await Bun.write(file, (await built.outputs[0]?.text()) ?? "");
  return file;
}

if (import.meta.main) console.log(await buildUws(process.argv[2]));
