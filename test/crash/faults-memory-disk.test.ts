import { describeFaults } from '../install/every-fault.ts';

describeFaults('the memory disk', 'each');
