import type { ConnectorKind } from "../connector.ts";
import { HttpConnector } from "./connector.ts";

/** An HTTP peer: called, polled, watched, and calling. */
export const httpKind: ConnectorKind<"http"> = { kind: "http", create: (deps) => new HttpConnector(deps) };
