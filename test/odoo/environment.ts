/** Where the real Odoo is; undefined, said aloud, where no one named it. */
export interface OdooEnvironment {
  readonly url: string;
  readonly database: string;
  readonly apiKey: string;
  /** Needed once, to make the two warehouses. */
  readonly adminApiKey: string | undefined;
}

export function readEnvironment(): OdooEnvironment | undefined {
  const { ODOO_URL: url, ODOO_DB: database, ODOO_API_KEY: apiKey, ODOO_ADMIN_API_KEY: adminApiKey } = process.env;
  if (url && database && apiKey) return { url, database, apiKey, adminApiKey: adminApiKey || undefined };
  process.stdout.write(
    [
      "",
      "Skipped: the tests against a real Odoo 19 need to know where it is. Set",
      "  ODOO_URL            its address, such as http://127.0.0.1:8069",
      "  ODOO_DB             its database, with Manufacturing and Inventory installed; use one for tests, they add products, lots and orders",
      "  ODOO_API_KEY        a key of a user who manages manufacturing and inventory",
      "  ODOO_ADMIN_API_KEY  only the first time: an administrator's key, to make the warehouses LYO and POR",
      "and run  npm run test:odoo",
      "",
    ].join("\n"),
  );
  return undefined;
}
