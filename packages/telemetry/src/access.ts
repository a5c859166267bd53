/** What a caller may see: rows of these environments and of these services, both at once; null means all of them. */
export interface Access {
  environments: readonly string[] | null;
  services: readonly string[] | null;
}

export const FULL_ACCESS: Access = { environments: null, services: null };
