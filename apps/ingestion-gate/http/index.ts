export { runDoor, type DoorOptions } from './door-service.ts';
export { serviceToken } from './authentication.ts';
