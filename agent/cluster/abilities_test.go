package cluster

import (
	"testing"
	"time"
)

// KServe's settings are deleted and made again by an upgrade. Models are not served in another way
// for that moment; they are once the settings stay away.
func TestSettingsLast(t *testing.T) {
	start := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	var a abilities
	if got := a.lasting(nil, start); got != nil {
		t.Errorf("settings that never were are %v", got)
	}
	config := map[string]string{"deploy": "{}"}
	a.lasting(config, start)
	if got := a.lasting(nil, start.Add(9*time.Minute)); len(got) != 1 {
		t.Errorf("nine minutes later they are %v", got)
	}
	if got := a.lasting(nil, start.Add(10*time.Minute)); got != nil {
		t.Errorf("ten minutes later they are %v", got)
	}
	a.lasting(map[string]string{}, start.Add(11*time.Minute))
	if got := a.lasting(nil, start.Add(12*time.Minute)); got == nil || len(got) != 0 {
		t.Errorf("what was seen last is %v", got)
	}
}
