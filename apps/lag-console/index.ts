export { register } from './commands.ts';
export { runLagConsole, type LagConsoleOptions } from './lag-console.ts';
export { lagConsoleServer, type LagConsoleData } from './server.ts';
