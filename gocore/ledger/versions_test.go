package ledger

import (
	"bytes"
	"testing"
)

func TestFieldsOfANeighbouringVersionAreIgnored(t *testing.T) {
	later := map[string]any{"p": protocol, "k": kindAsk, "f": "x", "t": "", "l": "ledger", "e": uint64(3), "r": "", "a": uint64(9), "zz": []any{1, "added"}}
	var b bytes.Buffer
	if err := writeFrame(&b, later); err != nil {
		t.Fatal(err)
	}
	var h hello
	if err := readFrame(&b, &h, maxHello); err != nil || h.Kind != kindAsk || h.Epoch != 3 || h.After != 9 {
		t.Fatalf("%+v %v", h, err)
	}
	earlier := map[string]any{"i": "server", "l": "ledger", "e": uint64(1), "x": uint64(5)} // without what was added since
	if err := writeFrame(&b, earlier); err != nil {
		t.Fatal(err)
	}
	var st status
	if err := readFrame(&b, &st, maxHead); err != nil || st.LastIndex != 5 || st.Seen != 0 || st.lineage() != (lineage{"ledger", 1, ""}) {
		t.Fatalf("%+v %v", st, err)
	}
}
