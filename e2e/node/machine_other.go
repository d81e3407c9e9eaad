//go:build !linux

package node

import (
	"errors"
	"runtime"
)

// machine is nothing where there is no kubelet.
type machine struct{}

func newMachine() (machine, error) {
	return machine{}, errors.New("it needs Linux; this is " + runtime.GOOS)
}

func (machine) remove() error { return nil }

func (machine) enter(string) (int, error) { return 1, errImpossible }

func probe() int { return 1 }

func beInit() int { return 1 }
