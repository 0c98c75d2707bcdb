import type { ConnectorKind } from "../connector.ts";
import { OdooConnector } from "./connector.ts";

/** Odoo 19 as a source of released orders and a place to book what plants report. */
export const odooKind: ConnectorKind<"odoo"> = { kind: "odoo", create: (deps) => new OdooConnector(deps) };
