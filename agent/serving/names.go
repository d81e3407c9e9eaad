package serving

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// longest is what the name of a version's own object may have: KServe makes of it a label
// isvc.NAME-predictor, and a label takes 63 characters. Knative's tag prev-NAME-predictor and
// the names of pods fit as well.
const longest = 63 - len("isvc.") - len("-predictor")

// nameOf is the name of the objects that belong to one version alone.
func nameOf(model, version string) string { return fit(model+"-"+slug(version), longest) }

// shortest is the least room in which a version still has a name of its own.
const shortest = 10

// variantOf is what KServe calls a version within an InferenceService. It begins with a letter.
func variantOf(model, version string) (string, error) {
	room := longest - len(model) - 1
	if room < shortest {
		return "", fmt.Errorf("the name of the Model is too long for canaries in KServe's Standard mode, where names of versions are added to it: %s has %d characters and %d are possible",
			model, len(model), longest-1-shortest)
	}
	name := slug(version)
	if name[0] < 'a' || name[0] > 'z' {
		name = "v-" + name
	}
	return fit(name, room), nil
}

// slug makes a DNS label of the name of a version. A name that is none gets a digest, so that
// V8, v.8 and v-8 stay three versions.
func slug(version string) string {
	label := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c - 'A' + 'a'
		}
		return '-'
	}, version)
	label = strings.Trim(label, "-")
	if label == version && label != "" {
		return label
	}
	return strings.TrimPrefix(label+"-"+digest(version)[:6], "-")
}

// fit shortens a name that is too long, and keeps it apart from others with the same beginning.
func fit(name string, most int) string {
	if len(name) <= most {
		return name
	}
	sum := digest(name)[:8]
	return strings.TrimRight(name[:most-len(sum)-1], "-") + "-" + sum
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
