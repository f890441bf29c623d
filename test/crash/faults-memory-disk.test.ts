import { describeFaultCanary, describeFaults } from '../install/every-fault.ts';

describeFaults('the memory disk', 'each');
describeFaultCanary('the memory disk');
