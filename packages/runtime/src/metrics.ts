import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from "prom-client";

export { Counter, Gauge, Histogram, Registry };

/** The values of a registry at one moment, fit to be sent between threads. */
export type MetricsSnapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/**
 * One registry a process, so that tests can build two apps side by side without clashing names.
 * @param serviceName absent for a worker thread, whose numbers become part of its process's
 */
export function createRegistry(serviceName?: string): Registry {
  const registry = new Registry();
  if (serviceName === undefined) return registry;
  registry.setDefaultLabels({ service_name: serviceName });
  const memory = new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of this process.",
    registers: [registry],
    collect() {
      memory.set(process.memoryUsage.rss());
    },
  });
  return registry;
}

export function snapshotMetrics(registry: Registry): Promise<MetricsSnapshot> {
  return registry.getMetricsAsJSON();
}

/** Prometheus text of `registries` and of the sums over `snapshots`, which threads sent. */
export async function renderMetrics(
  registries: readonly Registry[],
  snapshots: readonly MetricsSnapshot[],
): Promise<string> {
  const own = await Promise.all(registries.map((registry) => registry.metrics()));
  const summed = snapshots.length === 0 ? "" : await AggregatorRegistry.aggregate([...snapshots]).metrics();
  return [...own, summed].join("\n");
}

/** One snapshot with the sums of what `snapshots` counted; what their threads measured "now" is over. */
export async function sumCounts(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  const sums = await AggregatorRegistry.aggregate([...snapshots]).getMetricsAsJSON();
  return sums.filter(({ type }) => String(type) !== "gauge");
}
