import { orExit } from "@timespan/runtime/settings";
import { readConfig } from "./config.ts";
import { runErrorStream } from "./run.ts";
import { serveOnUws } from "./serve-on-uws.ts";

/** The same process on uWebSockets.js under Node; see docs/error-stream.md. */
await runErrorStream(orExit(readConfig), serveOnUws);
