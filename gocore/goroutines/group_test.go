package goroutines

import (
	"strings"
	"testing"
)

func TestAPanicBecomesAFaultAndIsWaitedFor(t *testing.T) {
	told := make(chan string, 1)
	group := Told(func(where string, err error) { told <- where + ": " + err.Error() })
	group.Go("the pump", func() { panic("broken") })
	group.Wait()
	select {
	case text := <-told:
		if !strings.HasPrefix(text, "the pump: panic: broken\n") || !strings.Contains(text, "group_test.go") {
			t.Fatalf("told %q; expected where, what and the stack", text)
		}
	default:
		t.Fatal("Wait returned before the fault was told")
	}
}
