import { Select, TextInput } from "@mantine/core";
import { Icon } from "./icon.tsx";

interface NarrowTextProps {
  /** What is looked through: "Name or label". */
  readonly name: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

/** Narrows a list to what holds a text. */
export function NarrowText({ name, value, onChange }: NarrowTextProps) {
  return (
    <TextInput
      size="xs"
      aria-label={name}
      placeholder={name}
      leftSection={<Icon name="search" size={13} />}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

interface NarrowChoiceProps {
  readonly name: string;
  /** In the empty field, where that says it shorter. */
  readonly hint?: string;
  readonly choices: readonly (string | { readonly value: string; readonly label: string })[];
  /** Empty: all. */
  readonly value: string;
  readonly onChange: (value: string) => void;
}

/** Narrows a list to one of a few; many are looked up by typing. */
export function NarrowChoice({ name, hint = name, choices, value, onChange }: NarrowChoiceProps) {
  return (
    <Select
      size="xs"
      aria-label={name}
      placeholder={hint}
      clearable
      searchable={choices.length > 8}
      data={[...choices]}
      value={value === "" ? null : value}
      onChange={(next) => onChange(next ?? "")}
    />
  );
}
