/** When people buy: a day's curve, and the instant of the n-th of N arrivals on it. */

/** Relative activity by hour of the day (UTC). */
const HOURS = [
  0.35, 0.22, 0.16, 0.14, 0.18, 0.3, 0.55, 0.9, 1.2, 1.35, 1.45, 1.6, 1.75, 1.6, 1.5, 1.5, 1.6, 1.85, 1.9,
  1.7, 1.35, 1.05, 0.8, 0.55,
] as const;

export const HOUR_MICROS = 3_600_000_000;
export const DAY_MICROS = 24 * HOUR_MICROS;

const CUMULATIVE = HOURS.reduce<number[]>((sums, weight) => [...sums, sums.at(-1)! + weight], [0]);
const TOTAL = CUMULATIVE.at(-1)!;

/** Activity at an instant relative to the day's mean. `micros` counts from a midnight. */
export function activityAt(micros: number): number {
  return (HOURS[Math.floor(micros / HOUR_MICROS) % 24]! * 24) / TOTAL;
}

/**
 * Microseconds from the start of the first day until the point where a share of all activity has passed. `days` 1.25
 * is a quarter of the second day's activity. Monotone, so ordered shares give ordered times.
 */
export function instantOf(days: number): number {
  const day = Math.floor(days);
  const wanted = (days - day) * TOTAL;
  let hour = 0;
  while (hour < 23 && CUMULATIVE[hour + 1]! <= wanted) hour += 1;
  const within = (wanted - CUMULATIVE[hour]!) / HOURS[hour]!;
  return Math.floor(day * DAY_MICROS + (hour + within) * HOUR_MICROS);
}
