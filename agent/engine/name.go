package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// longestName is how many characters the name of a run may have. Katib takes no more. Others take up to 63,
// but make names of pods and services of it by adding to it.
const longestName = 40

// Name is the name for the engines of an attempt at a RetrainingRun. No two attempts at runs that the agent
// has named have the same.
func Name(record string, attempt int32) string {
	name := strings.ReplaceAll(record, ".", "-")
	number := fmt.Sprintf("-%d", attempt)
	if name == record && len(name)+len(number) <= longestName && len(validation.IsDNS1035Label(name)) == 0 {
		return name + number
	}
	// What was cut off or changed is told apart by a digest of all of it.
	sum := sha256.Sum256([]byte(record))
	number = "-" + hex.EncodeToString(sum[:5]) + number
	if len(name) > 0 && (name[0] < 'a' || name[0] > 'z') {
		name = "run-" + name
	}
	if room := longestName - len(number); len(name) > room {
		name = strings.TrimRight(name[:room], "-")
	}
	return name + number
}

// checkName refuses a name that not all engines take.
func checkName(name string) error {
	if len(name) > longestName || len(validation.IsDNS1035Label(name)) > 0 {
		return permanentf("%q cannot be the name of a run: it has to be at most %d small letters, digits and dashes, and to begin with a letter", words(name), longestName)
	}
	return nil
}

// labelled is a name as the value of a label, which is shorter than a name may be.
func labelled(name string) string {
	if len(name) <= validation.LabelValueMaxLength {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:46] + "-" + hex.EncodeToString(sum[:8])
}
