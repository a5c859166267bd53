import type { Operation } from "./operation.ts";
import { endpointTracesOperation } from "./routes/endpoint-traces.ts";
import { endpointsOperation } from "./routes/endpoints.ts";
import { logsOperation } from "./routes/logs.ts";
import { retentionOperation } from "./routes/retention.ts";
import { serviceMapOperation } from "./routes/service-map.ts";
import { serviceMapDiffOperation } from "./routes/service-map-diff.ts";
import { serviceMetricsOperation } from "./routes/service-metrics.ts";
import { serviceTracesOperation } from "./routes/service-traces.ts";
import { servicesOperation } from "./routes/services.ts";
import { spansOperation } from "./routes/spans.ts";
import { traceOperation } from "./routes/trace.ts";

/** Every question that can be asked, in the order of the document. */
export const OPERATIONS: readonly Operation[] = [
  traceOperation,
  spansOperation,
  logsOperation,
  servicesOperation,
  serviceMetricsOperation,
  serviceTracesOperation,
  endpointsOperation,
  endpointTracesOperation,
  serviceMapOperation,
  serviceMapDiffOperation,
  retentionOperation,
];
