import { compareEnvironments } from "../../change/environments.ts";
import type { SiteCondition, SiteView } from "../../http/views.ts";
import { NarrowChoice, NarrowText } from "../parts/narrow.tsx";
import { useUrlState } from "../parts/url-state.ts";
import { conditionOrder } from "./condition.tsx";

export interface SiteFilter {
  readonly environment: string;
  readonly region: string;
  /** `unit=body`: any label. */
  readonly label: string;
  readonly condition: SiteCondition | null;
  readonly configuration: string;
  readonly text: string;
}

/** What the configuration of a site may be looked for by; `behind`: it does not run what it should. */
const configurations = [
  { value: "behind", label: "Not what it should run" },
  { value: "watching", label: "Being watched" },
  { value: "rolled-back", label: "Rolled back" },
  { value: "refused", label: "Refused" },
] as const;

/** The filter stands in the page's address. */
export function useSiteFilter() {
  const [environment, setEnvironment] = useUrlState("environment");
  const [region, setRegion] = useUrlState("region");
  const [label, setLabel] = useUrlState("label");
  const [condition, setCondition] = useUrlState("condition");
  const [configuration, setConfiguration] = useUrlState("configuration");
  const [text, setText] = useUrlState("q");
  const filter: SiteFilter = {
    environment,
    region,
    label,
    condition: conditionOrder.find((known) => known === condition) ?? null,
    configuration,
    text,
  };
  const clear = () => {
    for (const set of [setEnvironment, setRegion, setLabel, setCondition, setConfiguration, setText]) set("");
  };
  return { filter, setEnvironment, setRegion, setLabel, setCondition, setConfiguration, setText, clear };
}

type Filters = ReturnType<typeof useSiteFilter>;

/** Boxes for what the sites differ in; a box with one choice would be none. */
export function SiteFilters({ sites, filters }: { readonly sites: readonly SiteView[]; readonly filters: Filters }) {
  const { filter } = filters;
  const environments = valuesOf(sites, "environment").sort(compareEnvironments);
  const regions = valuesOf(sites, "region");
  const labels = [
    ...new Set(
      sites.flatMap((site) =>
        Object.entries(site.labels)
          .filter(([key]) => key !== "environment" && key !== "region")
          .map(([key, value]) => `${key}=${value}`),
      ),
    ),
  ].sort();
  return (
    <search className="filters" aria-label="Narrow the list of sites">
      <NarrowText name="Name or label" value={filter.text} onChange={filters.setText} />
      <Choice name="Environment" values={environments} value={filter.environment} onChange={filters.setEnvironment} />
      <Choice name="Region" values={regions} value={filter.region} onChange={filters.setRegion} />
      <Choice name="Label" values={labels} value={filter.label} onChange={filters.setLabel} />
      <NarrowChoice
        name="Configuration"
        choices={configurations}
        value={filter.configuration}
        onChange={filters.setConfiguration}
      />
    </search>
  );
}

interface ChoiceProps {
  readonly name: string;
  readonly values: readonly string[];
  readonly value: string;
  readonly onChange: (value: string) => void;
}

function Choice({ name, values, value, onChange }: ChoiceProps) {
  if (values.length === 0 || (values.length === 1 && value === "")) return null;
  const all = value === "" || values.includes(value) ? values : [...values, value];
  return <NarrowChoice name={name} choices={all} value={value} onChange={onChange} />;
}

export function holds(site: SiteView, filter: SiteFilter): boolean {
  const text = filter.text.trim().toLowerCase();
  const [labelKey = "", labelValue] = filter.label.split("=");
  return (
    (filter.condition === null || site.condition === filter.condition) &&
    (filter.environment === "" || site.labels.environment === filter.environment) &&
    (filter.region === "" || site.labels.region === filter.region) &&
    (filter.label === "" || site.labels[labelKey] === labelValue) &&
    (filter.configuration === "" ||
      (filter.configuration === "behind"
        ? site.desiredRevision !== site.reportedRevision
        : site.configurationState === filter.configuration)) &&
    (text === "" || [site.name, ...Object.values(site.labels)].some((word) => word.toLowerCase().includes(text)))
  );
}

function valuesOf(sites: readonly SiteView[], label: string): string[] {
  return [...new Set(sites.map((site) => site.labels[label]).filter((value) => value !== undefined))].sort();
}
