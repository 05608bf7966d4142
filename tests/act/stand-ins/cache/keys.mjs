// The original compares keys in this way, without regard to case.
export const sameKey = (one, other) => one.localeCompare(other, undefined, { sensitivity: "accent" }) === 0;
