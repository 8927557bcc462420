// The calls that need no node: the ledger of a data directory, and the peers that may still run.

package main

/*
#include "../include/p2plib.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"pyfl/gocore/p2plib"
)

//export p2pgo_ledger
func p2pgo_ledger(recover C.int, dataDir *C.char, buffer unsafe.Pointer, size C.size_t, needed *C.size_t, text *C.char, textSize C.size_t) C.int64_t {
	return answered(buffer, size, needed, text, textSize, func() (any, error) {
		if dataDir == nil {
			return nil, fmt.Errorf("%w: data_dir is NULL", p2plib.ErrArgument)
		}
		if recover == 0 {
			return p2plib.InspectLedger(C.GoString(dataDir))
		}
		found, err := p2plib.RecoverLedger(C.GoString(dataDir))
		found.Records = []p2plib.Record{} // so that the answer fits: the call must not be repeated
		return found, err
	})
}

//export p2pgo_ledger_ask
func p2pgo_ledger_ask(survey *C.char, surveySize C.size_t, buffer unsafe.Pointer, size C.size_t, needed *C.size_t, text *C.char, textSize C.size_t) C.int64_t {
	return answered(buffer, size, needed, text, textSize, func() (any, error) {
		b, err := clone(unsafe.Pointer(survey), surveySize, 1<<20, "survey")
		if err != nil {
			return nil, err
		}
		return p2plib.AskAround(b)
	})
}
