// Walks all pairs as whoever runs it, and says what is wrong with which: JSON on stdout. With an
// argument, everything is in a user namespace.
import { walkPairs, withSurroundings } from './walk.js';

const inUserNamespace = process.argv.length > 2;
console.log(JSON.stringify(await withSurroundings(inUserNamespace, walkPairs)));
