import postgres from "postgres";

const PING_TIMEOUT_SECONDS = 5;

/**
 * Connects once, as `databaseUrl` says, and gives back the server's version such as "18.4".
 * @throws the driver's error when nothing answers, the server is still starting, or it refuses the user
 */
export async function pingDatabase(databaseUrl: string): Promise<{ serverVersion: string }> {
  const sql = postgres(databaseUrl, {
    max: 1,
    connect_timeout: PING_TIMEOUT_SECONDS,
    onnotice: () => {},
    // One statement less that a server on its way up or down can break off.
    fetch_types: false,
    connection: { application_name: "timespan-ping" },
  });
  try {
    const [row] = await sql<{ server_version: string }[]>`
      SELECT current_setting('server_version') AS server_version
    `;
    return { serverVersion: row?.server_version ?? "unknown" };
  } finally {
    await sql.end({ timeout: 1 });
  }
}
