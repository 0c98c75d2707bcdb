import { createTheme, type MantineColorsTuple } from "@mantine/core";

const petrol: MantineColorsTuple = [
  "#e8f6f6",
  "#d2e9e9",
  "#a5d2d2",
  "#74baba",
  "#4ca6a6",
  "#2f9696",
  "#178282",
  "#0f6e6e",
  "#085858",
  "#004343",
];

/** The console's own dark greys, so that Mantine's parts sit on them (console.css). */
const dark: MantineColorsTuple = [
  "#e4ebef",
  "#c3cdd4",
  "#a3b1ba",
  "#6b7a84",
  "#3a4852",
  "#27323a",
  "#1b242a",
  "#161e23",
  "#10171b",
  "#0b1013",
];

/** Fonts of the machine only: a plant has no internet, and a page must not wait for a font at 3 a.m. */
export const theme = createTheme({
  primaryColor: "petrol",
  // white words on it have a contrast of more than 4.5 in both schemes
  primaryShade: { light: 7, dark: 6 },
  colors: { petrol, dark },
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif',
  fontFamilyMonospace:
    'ui-monospace, "SF Mono", "Cascadia Mono", "Roboto Mono", "Liberation Mono", "DejaVu Sans Mono", monospace',
  defaultRadius: "sm",
  fontSizes: { xs: "0.75rem", sm: "0.8125rem", md: "0.9375rem", lg: "1.125rem", xl: "1.375rem" },
});
