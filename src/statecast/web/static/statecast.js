// Live states for any page: import { connect } from "/statecast/statecast.js".
// Everything that is public is named here; the types are in the JSDoc of the modules.
export { Board, isWatched } from "./board.js";
export { connect, Connection } from "./connection.js";
export { formatAge, formatClock, formatDuration } from "./ages.js";
export { getOwn } from "./own.js";
export { formatNumber, formatValue, splitUnit } from "./words.js";
