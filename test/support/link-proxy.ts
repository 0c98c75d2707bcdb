export { type LinkProxy, startLinkProxy } from "../../packaging/demo/link-proxy.ts";
