/** How often a running generation is asked for when the live stream is out of reach. */
const MINUTE = 60_000;

/** After this long a generation that nobody reports on may have timed out. */
export const GIVE_UP_AFTER = 30 * MINUTE;

/** Milliseconds until the next question about a generation of this age (milliseconds); null when it is given up. */
export function pollDelay(age: number): number | null {
  if (age < 2 * MINUTE) return 3_000;
  if (age < 10 * MINUTE) return 10_000;
  if (age < GIVE_UP_AFTER) return 30_000;
  return null;
}

/** The shortest delay that any of them asks for; null when none does. */
export function nextPoll(ages: number[]): number | null {
  const delays = ages.map(pollDelay).filter((delay) => delay !== null);
  return delays.length ? Math.min(...delays) : null;
}
