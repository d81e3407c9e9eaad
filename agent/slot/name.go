package slot

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// longestName is that of a label, and of a Job.
const longestName = 63

// RunName is the name of the RetrainingRun of a slot: the same on every replica, a DNS label, and
// in the order of time. A slot has one, whether it is run on time or was missed. For triggers, key
// is what has fired: a fingerprint, a digest, the text of a request.
func RunName(retraining string, slot time.Time, trigger v1alpha1.TriggerKind, key string) string {
	end := stamp(slot)
	if trigger != v1alpha1.TriggerSchedule && trigger != v1alpha1.TriggerMissed {
		end = joined(end, strings.ToLower(string(trigger)), hashed(key)[:8])
	}
	return joined(fit(retraining, longestName-1-len(end)), end)
}

// spanName is the name of the record of several slots.
func spanName(retraining string, s Skip) string {
	end := joined(stamp(s.Last), "missed", hashed(s.Message())[:8])
	return joined(fit(retraining, longestName-1-len(end)), end)
}

// stamp orders as the time does, also where some have seconds and some have none. It is empty for
// no time.
func stamp(t time.Time) string {
	switch t = t.UTC(); {
	case t.IsZero():
		return ""
	case t.Second() != 0:
		return t.Format("20060102-150405")
	}
	return t.Format("20060102-1504")
}

// fit makes a name a DNS label of so many characters. What had to be changed gets a hash, so that
// two names do not become one.
func fit(name string, longest int) string {
	label := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, name), "-")
	if label == name && len(name) <= longest {
		return name
	}
	const hash = 8
	label = strings.Trim(label[:min(len(label), longest-1-hash)], "-")
	return joined(label, hashed(name)[:hash])
}

func joined(parts ...string) string {
	text := ""
	for _, part := range parts {
		if text != "" && part != "" {
			text += "-"
		}
		text += part
	}
	return text
}

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
