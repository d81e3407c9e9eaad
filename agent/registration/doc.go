// Package registration writes a version of a model down, as the ModelVersion that goes into Git.
//
// What goes in is the spec of a ModelVersion, or metrics as texts. What comes out is the name of the
// ModelVersion, its manifest, or a sentence about what the API server would refuse: whoever registers a version
// should hear of it before it is in Git. The same spec gives the same manifest, byte by byte. It never looks
// at the artifact.
package registration
