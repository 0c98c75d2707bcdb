import { parseArgs } from "node:util";
import { startErp } from "./erp.ts";

// a simulated ERP as a process of its own: `node entry.ts --port 8069 --log erp.ndjson`; the key comes from ERP_API_KEY, else one is made and printed
const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    database: { type: "string", default: "plant" },
    erp: { type: "string", default: "hq" },
    log: { type: "string" },
  },
});
const apiKey = process.env.ERP_API_KEY;
const erp = await startErp({
  port: Number(values.port),
  database: values.database,
  erp: values.erp,
  ...(apiKey === undefined ? {} : { apiKey }),
  ...(values.log === undefined ? {} : { logFile: values.log }),
});
process.stdout.write(
  `${JSON.stringify({ url: erp.url, database: erp.database, ...(apiKey === undefined ? { apiKey: erp.apiKey } : {}) })}\n`,
);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    void erp.stop().then(() => process.exit(0));
  });
}
