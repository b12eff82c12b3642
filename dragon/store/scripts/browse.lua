-- browse: reads what lies in a directory of stored files; changes nothing
--
-- ARGV[2]  account
-- ARGV[3]  the directory, '' or with a slash at its end
-- ARGV[4]  where to begin, as a bound of a range
-- ARGV[5]  how many entries at most
-- Returns  entries, in order: of files as they are in the index, of directories their paths
-- Tells    nobody

local index, folder, from, limit = base .. 'stored:' .. ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local entries = {}
while #entries < limit do
  local found = redis.call('ZRANGEBYLEX', index, from, '(' .. folder .. '\255', 'LIMIT', 0, 1)[1]
  if not found then break end
  local name = string.match(found, '^[^/]+/', #folder + 1)
  entries[#entries + 1] = name and folder .. name or found
  -- All below a directory is passed over: 0 is what comes after the slash.
  from = name and '[' .. folder .. string.sub(name, 1, -2) .. '0' or '(' .. found
end
return entries
