/** What is stored, and how fast it grows. */
export interface StorageGrowth {
  /** Of the whole database. */
  databaseBytes: number;
  /** Of what the last one or two days brought; null where there is less than an hour of it. */
  bytesPerDay: number | null;
  /** How long spans are kept, in every environment; null where nothing says so. */
  retentionDays: number | null;
  /** Age of the oldest span that is kept; null where there is none. */
  storedDays: number | null;
}
