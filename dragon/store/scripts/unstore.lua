-- unstore: success or error -> the same, when some of its files are deleted before its time is over
--
-- ARGV[2]  account
-- ARGV[3]  MessagePack: a list of {key, paths without the account}
-- Returns  {how many files were in the index, and are no more; their bytes}
-- Tells    servers that may remember the records

local account, removed, freed, outdated = ARGV[2], 0, 0, {}

-- Which of these were in the index, by path; nil if none was.
local function remove_all(paths)
  local gone = nil
  for _, path in ipairs(paths) do
    local size = remove_file(account, path)
    if size then
      gone = gone or {}
      gone[path], removed, freed = true, removed + 1, freed + size
    end
  end
  return gone
end

-- Tells in the record which files are deleted. Returns whether it has others in stores of ours.
local function mark(key, files, gone)
  local is_storing, decoded = false, cjson.decode(files)
  for _, file in ipairs(decoded) do
    file.deleted = file.deleted or gone[string.sub(file.path, #account + 2)]
    is_storing = is_storing or not (file.deleted or file.store == 'signed')
  end
  redis.call('HSET', base .. 'job:' .. key, 'files', cjson.encode(decoded))
  return is_storing
end

-- Who asks for the same again gets it made anew, also by those that ran the job: what they made
-- may lead to its files.
local function outdate(key)
  while key do
    local is = redis.call('HMGET', base .. 'job:' .. key, 'reuse', 'parent', 'state')
    if is[1] and is[3] == 'success' and redis.call('GET', is[1]) == key then
      redis.call('DEL', is[1])
    end
    outdated[#outdated + 1] = key
    key = is[2]
  end
end

local function unstore(key, paths)
  local gone = remove_all(paths)
  local is = redis.call('HMGET', base .. 'job:' .. key, 'account', 'files')
  if not gone or is[1] ~= account then return end
  if not mark(key, is[2], gone) then
    count_storing(key, -1)
    reckon(key)
  end
  outdate(key)
end

for _, job in ipairs(cmsgpack.unpack(ARGV[3])) do unstore(unpack(job)) end
deliver()
if outdated[1] then redis.call('PUBLISH', channels .. 'outdated', table.concat(outdated, ' ')) end
return {removed, freed}
