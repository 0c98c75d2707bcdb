/** Drawn here, 16 × 16, one stroke: an icon set would be larger than the console. Always beside a word or an aria-label. */
const paths = {
  check: "M3.5 8.5l3 3 6-7",
  down: "M8 3v9m-4-4l4 4 4-4",
  pause: "M5.5 4v8M10.5 4v8",
  question: "M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6M8 12.2v.1",
  lock: "M4.5 7.5h7v5h-7zM6 7.5V5.8a2 2 0 0 1 4 0v1.7",
  cross: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3.5v9M3.5 8h9",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.5 10.5L14 14",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
  auto: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM8 2.5v11M10 3.4v9.2M12 4.9v6.2",
  chevron: "M6 4l4 4-4 4",
  warning: "M8 2.5l6 10.5H2L8 2.5zM8 6.5v3M8 11.2v.1",
  copy: "M6 6h7v7H6zM4 10H3V3h7v1",
  clock: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM8 5v3.2l2 1.4",
  person: "M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8zM3 13.5c.5-2.4 2.4-3.7 5-3.7s4.5 1.3 5 3.7",
  play: "M5.5 3.5l7 4.5-7 4.5z",
  back: "M6.5 4L3 7.5 6.5 11M3.2 7.5H10a3 3 0 0 1 0 6H8",
  eye: "M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8zM8 9.7a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4z",
  pen: "M3 13l.6-2.8 7.2-7.2 2.2 2.2-7.2 7.2L3 13z",
  minus: "M3.5 8h9",
  bolt: "M9 1.8L3.8 9H8l-1 5.2L12.2 7H8z",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  ring: "M8 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
} as const;
export type IconName = keyof typeof paths;

export function Icon({
  name,
  size = 16,
  className,
}: {
  readonly name: IconName;
  readonly size?: number;
  readonly className?: string;
}) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 16 16" fill="none" className={className}>
      <path d={paths[name]} stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
