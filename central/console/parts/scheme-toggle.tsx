import { ActionIcon, Tooltip, useMantineColorScheme } from "@mantine/core";
import { Icon } from "./icon.tsx";

const next = { auto: "light", light: "dark", dark: "auto" } as const;
const looks = {
  auto: { icon: "auto", words: "Colours: as the system" },
  light: { icon: "sun", words: "Colours: light" },
  dark: { icon: "moon", words: "Colours: dark" },
} as const;

/** Goes round: as the system, light, dark. */
export function SchemeToggle() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const { icon, words } = looks[colorScheme];
  return (
    <Tooltip label={words}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={`${words}. Change`}
        onClick={() => setColorScheme(next[colorScheme])}
      >
        <Icon name={icon} size={18} />
      </ActionIcon>
    </Tooltip>
  );
}
