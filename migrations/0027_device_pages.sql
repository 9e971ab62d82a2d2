-- last_heard is in no index, so that writing it is cheap (0020), but only while the new row fits into the page of the old one. When a
-- fleet comes back each row is written twice within seconds: half of a page is left for that. What is stored already follows as it is
-- written.
ALTER TABLE device SET (fillfactor = 50);
