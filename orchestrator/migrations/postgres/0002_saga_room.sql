-- The sagas of one page begin together and change together. Half of a page free lets all of them change within it in one commit,
-- which touches no index.
ALTER TABLE saga SET (fillfactor = 48);
