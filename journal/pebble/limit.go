package pebble

// MaxRecord implements journal.Limited.
func (j *Journal) MaxRecord() int { return j.cfg.MaxRecordBytes }
