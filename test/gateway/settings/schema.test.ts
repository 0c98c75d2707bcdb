import { expect, it } from "vitest";
import { gatewaySettings } from "../../../gateway/settings/schema.ts";

const judge = (centralUrl: string): string | undefined =>
  gatewaySettings.safeParse({ centralUrl }).error?.issues.find(({ path }) => path[0] === "centralUrl")?.message;

it.each(["https://central.example.com", "http://127.0.0.1:8080/"])("takes %s for central's address", (address) => {
  expect(judge(address)).toBeUndefined();
});

it.each([
  "https://example.com/plantgate",
  "https://central.example.com?site=lyon",
  "https://ops:secret@central.example.com",
  "/central",
])("refuses %s, and says what an address is", (address) => {
  expect(judge(address)).toMatch(address === "/central" ? /URL/ : /no path, user or query: such as https:/);
});
