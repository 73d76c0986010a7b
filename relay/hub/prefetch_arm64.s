#include "textflag.h"

// func fetch(s *Shape)
TEXT ·fetch(SB), NOSPLIT, $0-8
	MOVD s+0(FP), R0
	PRFM (R0), PLDL1KEEP
	PRFM 64(R0), PLDL1KEEP
	RET
