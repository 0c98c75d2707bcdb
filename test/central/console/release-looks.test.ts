import { expect, it } from "vitest";
import { upgradeLook } from "../../../central/console/releases/looks.ts";

const site = {
  ...{ site: "lyon", environment: "dev", version: "0.3.0", beside: null, platform: "linux-x64", installed: "deb" },
  desiredVersion: null,
};
const said = (state: string) => ({ state, version: "0.3.0", reason: null, at: null, bytes: null, size: null });

it.each(["verifying", "constructor", "__proto__", "toString"])(
  "shows %s, which a gateway says of an upgrade, as it is",
  (state) => {
    expect(upgradeLook({ ...site, upgrade: said(state) })).toEqual({ tone: "idle", icon: "question", word: `0.3.0 ${state}` });
  },
);
