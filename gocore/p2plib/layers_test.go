package p2plib

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Layers point down only; what is not named here may not be imported.
var mayImport = map[string][]string{
	"goroutines": {},
	"identity":   {},
	"transport":  {"identity"},
	"relay":      {"goroutines", "identity", "transport"},
	"membership": {"goroutines", "identity", "transport"},
	"messages":   {"goroutines", "identity", "transport"},
	"bulk":       {"goroutines", "identity", "transport", "messages"},
	"ledger":     {"goroutines"},
	"p2plib":     {"goroutines", "identity", "transport", "relay", "membership", "messages", "bulk", "ledger"},
	"capi":       {"p2plib"},
}

func TestLayersPointDownOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "pyfl/gocore/...").Output()
	if err != nil {
		t.Skipf("no go command here: %v", err)
	}
	const module = "pyfl/gocore/"
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		allowed, ok := mayImport[name]
		if !ok {
			t.Errorf("package %s has no place in the layers", name)
			continue
		}
		seen++
		for _, path := range fields[1:] {
			if path == "C" && name != "capi" {
				t.Errorf("%s imports C; only capi may", name)
			}
			other, ours := strings.CutPrefix(path, module)
			if ours && !contains(allowed, other) {
				t.Errorf("%s imports %s, which is not below it", name, other)
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("%d of %d packages were found", seen, len(mayImport))
	}
}

func contains(list []string, text string) bool {
	for _, each := range list {
		if each == text {
			return true
		}
	}
	return false
}

// codeText is the sentinel's text that an error wraps.
func codeText(err error) string {
	for _, sentinel := range []error{ErrClosed, ErrConfig, ErrAddressInUse, ErrNoPeer, ErrArgument, ErrFull, ErrNoTransfer} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return ""
}
