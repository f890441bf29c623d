import { describeFaultCanary, describeFaults } from './every-fault.ts';

describeFaults('the memory disk', 'each');
describeFaultCanary('the memory disk');
