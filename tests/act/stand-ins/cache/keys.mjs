// Keys are compared like this by the original: without regard to case.
export const sameKey = (one, other) => one.localeCompare(other, undefined, { sensitivity: "accent" }) === 0;
